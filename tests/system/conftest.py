import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # children.py: test files are not a package
