/** Loaded before a test file: told to end, it exits, and so removes the folders and machines that it made. */
process.once('SIGTERM', () => process.exit(143));
