/** Random numbers that a seed repeats. */

/** In [0, 1). */
export type Random = () => number;

/** Mulberry32 (T. Ettinger, 2017). Every step has its own, so that a schedule can be minimised by leaving steps out. */
export function randomOf(seed: number, step: number): Random {
  let s = Math.imul(seed, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b);
  return () => {
    s = (s + 0x6d2b79f5) | 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export const below = (random: Random, n: number): number => Math.floor(random() * n);
export const chance = (random: Random, probability: number): boolean => random() < probability;

export function pick<T>(random: Random, list: readonly [T, ...T[]]): T {
  return list[below(random, list.length)] ?? list[0];
}

/** The item at which the sum of weights passes a random roll. */
export function weighted<T extends { readonly weight: number }>(random: Random, items: readonly [T, ...T[]]): T {
  let roll = random() * items.reduce((sum, { weight }) => sum + weight, 0);
  return items.find(({ weight }) => (roll -= weight) < 0) ?? items[0];
}
