"""Documents from files of other programs, where no adapter reads them. Pure."""
