"""Documents from files of ADC, the declarative tool of Apache APISIX."""
