"""All SQL and all Redis commands: migrations, and one module of queries per subject."""
