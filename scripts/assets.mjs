// Copies into dist what the compiler does not: SQL migrations and other files that src reads beside its modules.
import { chmodSync, cpSync } from 'node:fs';

cpSync('src', 'dist', { recursive: true, filter: (path) => !/\.tsx?$/.test(path) });
chmodSync('dist/main.js', 0o755);
