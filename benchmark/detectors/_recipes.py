"""Training recipes that several detectors share."""

# Section V of the comparison paper's baselines: what training.toml already says, with bona fide drawn more often
# until both classes are of one size, and the test crop in the middle (`Input` of each detector).
COMPARISON = {"balance": "oversample"}

# ASVspoof baselines that train for a fixed number of epochs: no early stop. Where the published code keeps every epoch
# or the most accurate one, the least EER on dev chooses: it needs no threshold, and log probabilities have none at 0.
FULL_LENGTH = {"patience": 0, "stop_above": 0.0, "selection": "eer"}
