"""The conversation of one call: ears, whose turn it is, thinking, mouth, and the loop that a person would write."""
