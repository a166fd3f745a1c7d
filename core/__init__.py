"""The ground that every floor may use: errors, records, YAML, durable writes, text, paths."""
