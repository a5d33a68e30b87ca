"""One folder per gateway type behind one contract; see docs/writing-an-adapter.md."""
