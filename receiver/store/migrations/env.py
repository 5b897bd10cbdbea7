"""Alembic's entry: the connection is handed in by `receiver.store`, never read from a file."""

from alembic import context

from receiver.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
