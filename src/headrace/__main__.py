"""`python -m headrace`: the commands, where the script is not on the PATH."""

from headrace.cli import main

if __name__ == "__main__":
    main()
