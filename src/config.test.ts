import { describe, expect, test } from 'vitest';
import { envName, parseConfig, shownConfig } from './config.ts';
import { SETTINGS } from './settings.ts';

describe('the configuration', () => {
  test('without anything is the defaults, frozen', () => {
    const config = parseConfig({});
    expect(config).toMatchObject({ host: '127.0.0.1', port: 8080, buckets: 16, databaseUrl: undefined });
    // What was declared last stands: a default here would take it back.
    expect(config).toMatchObject({ tenants: undefined, maxGroups: undefined, metersFile: undefined });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test('takes flags over environment over file over defaults', () => {
    const file = 'port: 1\nbuckets: 2\npartitions: 3\n';
    const config = parseConfig({ flags: { port: '9' }, env: { METERFOLD_PORT: '8', METERFOLD_BUCKETS: '7' }, file });
    expect([config.port, config.buckets, config.partitions]).toEqual([9, 7, 3]);
  });

  test('names every fault at once, with what is allowed', () => {
    const env = { METERFOLD_PORT: '70000', METERFOLD_LOG_LEVEL: 'loud', METERFOLD_INSECURE: 'perhaps', METERFOLD_PROT: '1' };
    const attempt = () => parseConfig({ env, flags: { tenants: ',' }, file: 'nothing: 1' });
    expect(attempt).toThrow(/port: "70000".*0 to 65535/);
    for (const part of [
      /logLevel/,
      /insecure/,
      /METERFOLD_PROT: there is no such setting/,
      /nothing: there is no such/,
      /tenants/,
    ]) {
      expect(attempt).toThrow(part);
    }
  });

  test('refuses a file that is no map, or no YAML', () => {
    expect(() => parseConfig({ file: '- 1' })).toThrow('must be a map');
    expect(() => parseConfig({ file: 'a: [' })).toThrow('not YAML');
  });

  test('reads tenants as a list without order', () => {
    expect(parseConfig({ env: { METERFOLD_TENANTS: 'b, a,b' } }).tenants).toEqual(['a', 'b']);
    expect(parseConfig({ file: 'tenants: [x]' }).tenants).toEqual(['x']);
  });

  test('is shown with its secrets masked', () => {
    const secret = 'postgres://me:secret@127.0.0.1/db';
    const shown = shownConfig(parseConfig({ env: { METERFOLD_DATABASE_URL: secret, METERFOLD_INSECURE: '1' } }));
    expect(JSON.stringify(shown)).not.toContain('secret@');
    expect(shown).toMatchObject({ databaseUrl: '****', metersFile: null, insecure: true });
    expect(() => parseConfig({ flags: { databaseUrl: 7 } })).toThrow('databaseUrl: the value is not allowed');
  });

  test('has a name in the environment for every setting', () => {
    expect(SETTINGS.map(({ name }) => envName(name))).toContain('METERFOLD_MAX_BODY_BYTES');
  });
});
