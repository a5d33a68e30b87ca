"""Use cases: what a person or a program can ask for, without argparse and without HTTP.

The command line, the control API and every later surface call these functions and show what they
return; a rule about *whether* something may be done belongs here, a flag or a status code does not.

| module | use case |
|---|---|
| `validate` | read a catalog with every finding |
| `plan` | plan gateways, or one revision against another |
| `diff` | two states of a catalog, field by field |
| `apply` | check a plan against guards and its digest, and apply it |
| `reconcile` | one cycle of one gateway |
| `adopt`, `adopt_documents` | take ownership of foreign objects, or write documents for them |
| `render` | what each gateway would be sent, as files |
| `status`, `stored_gateways` | how gateways are, as the store knows it |
| `history` | cycles, the audit trail, and events as they come |
| `inventory` | what catalogs own: list, show, forget |
| `gateways` | suspend, resume and forget a gateway |
| `advice`, `fix_findings` | advice about a catalog; repairs that are certain |
| `format_files` | documents in one form |
| `starter` | a catalog to begin with |
| `explain` | what a field or a finding means |
| `prune`, `export` | empty a gateway without a document; its own backup |

What they return to people is in `views` (pydantic models, the source of `openapi.json` and
`schemas/output/status.json`), made by `running_views` and `stored_views`. `workspace` opens what
they work with (store, secrets, drivers); who asks is a `Principal`:

    async with Workspace.open(folder) as workspace:
        prepared = await plan_gateways(workspace, catalog, Selection(tenant="acme"))
        check_guards(prepared.plans)
        reports = await apply_plans(workspace, prepared, local_principal())
"""
