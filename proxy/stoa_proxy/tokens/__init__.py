"""JSON Web Tokens: keys of issuers, signatures and claims; knows no policy."""
