-- Who made the application that uses a key, and what share of the cost it earns on top.
ALTER TABLE keys ADD COLUMN builder TEXT;
ALTER TABLE keys ADD COLUMN builder_percent TEXT CHECK((builder IS NULL) = (builder_percent IS NULL));
