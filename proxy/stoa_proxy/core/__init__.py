"""Values and decisions of the data plane that know no particular policy, engine or socket."""
