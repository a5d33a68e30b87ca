"""The administration API of webMethods API Gateway, typed; options of the gateway instance."""
