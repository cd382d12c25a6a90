"""What a package in production is watched with."""
