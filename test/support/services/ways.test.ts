/** The ways to a server, in their order. */
import { describe, expect, test } from 'vitest';
import { find, type Means, type Need, ownProgram, type Service } from './ways.ts';

/** A service of which this machine has what is said. */
function service({ has = false, fetches = true }: { readonly has?: boolean; readonly fetches?: boolean }): Service & {
  fetched: number;
} {
  let isHere = has;
  return {
    ...{ name: 'Thing', given: 'THING_URL', image: 'thing:1', wayOut: 'install thing', fetched: 0 },
    program: () => (isHere ? { path: '/bin/thing', version: '1.2' } : undefined),
    fetch() {
      this.fetched += 1;
      if (!fetches) throw new Error('no network');
      isHere = true;
    },
  };
}

const means = (env: Means['env'] = {}, images: readonly string[] = []): Means => ({
  env,
  hasImage: (image) => images.includes(image),
});
const everything = means({ THING_URL: 'thing://me:secret@there:9/db?x=y', CI: 'true' }, ['thing:1']);

describe('the ways', () => {
  test('a server that is given is taken before a program, and its secrets are not told', () => {
    expect(find(service({ has: true }), 'any', everything)).toEqual({
      ...{ way: 'given', url: 'thing://me:secret@there:9/db?x=y', server: 'Thing at there:9' },
    });
    const brokers = find(service({}), 'any', means({ THING_URL: 'a:1,b:2' }));
    expect(brokers?.server).toBe('Thing at a:1,b:2');
  });

  test('a program is taken before Docker, Docker before what has to be fetched', () => {
    const all = means({ CI: 'true' }, ['thing:1']);
    const program = { path: '/bin/thing', version: '1.2' };
    const [here, away] = [service({ has: true }), service({})];
    expect(find(here, 'any', all)).toEqual({ way: 'program', program, server: 'Thing 1.2' });
    expect(find(away, 'any', all)).toEqual({ way: 'Docker', image: 'thing:1', server: 'Thing in Docker (thing:1)' });
    expect([here.fetched, away.fetched]).toEqual([0, 0]);
    expect(find(away, 'any', means({ CI: 'true' }))).toEqual({ way: 'fetched', program, server: 'Thing 1.2' });
    expect(away.fetched).toBe(1);
    expect(find(away, 'any', means())?.way).toBe('program');
  });

  test.each([
    [{ CI: 'true' }, 1],
    [{ MF_SERVICES: 'fetch' }, 1],
    [{ CI: 'false', MF_SERVICES: 'no' }, 0],
    [{ THING_URL: '' }, 0],
  ])('with %j it is fetched %i times', (env, times) => {
    const away = service({});
    expect(find(away, 'any', means(env)) !== undefined).toBe(times === 1);
    expect(away.fetched).toBe(times);
  });

  test.each<[Need, string]>([
    ['any', 'given'],
    ['empty', 'Docker'],
    ['own', 'fetched'],
  ])('for %s the way is %s', (need, way) => {
    expect(find(service({}), need, everything)?.way).toBe(way);
  });

  test('what cannot be fetched says which service, and why', () => {
    const broken = service({ fetches: false });
    expect(() => find(broken, 'own', everything)).toThrow('fetch Thing: no network');
    expect(() => ownProgram(service({}), means())).toThrow('no Thing on this machine: install thing');
    expect(ownProgram(service({ has: true }), everything)).toEqual({ path: '/bin/thing', version: '1.2' });
  });
});
