"""What Cartesia's speech-to-text and text-to-speech have in common: an account and its errors."""
