"""`python -m rightfit`."""

from rightfit.cli import main

if __name__ == "__main__":
    main()
