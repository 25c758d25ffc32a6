"""Does pre-training on a small folder of sounds pay? One encoder size, one loop, one budget, one protocol, many objectives."""
