"""The command line: `detcon VERB [RECIPE] name=value ...`."""

from detcon.cli.main import main
from detcon.cli.verbs import VERBS, Verb

__all__ = ["VERBS", "Verb", "main"]
