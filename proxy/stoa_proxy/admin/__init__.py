"""The admin API without I/O: requests to responses, and the objects that it stores."""
