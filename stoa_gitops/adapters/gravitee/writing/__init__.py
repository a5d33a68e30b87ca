"""Writing APIs and applications: by the Automation API, `_import/crd`, or single calls."""
