"""Package state_folder."""
