"""What sections are made of: ``html`` (elements and numbers), ``charts`` (SVG), ``images`` (PNG), ``audio_clips`` (MP3)."""
