"""``python -m ntkdip``."""

from ntkdip.cli import main

if __name__ == "__main__":
    main()
