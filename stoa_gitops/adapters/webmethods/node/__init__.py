"""What one webMethods API Gateway holds, and the session that reads it."""
