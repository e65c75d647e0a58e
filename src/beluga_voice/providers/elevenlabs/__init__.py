"""What ElevenLabs' recogniser and voices have in common: an account, and a wire that ticks."""
