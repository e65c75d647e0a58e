"""What OpenAI's recognisers and voices have in common: an account, and requests over HTTP."""
