/** A usage event, validated. */
export interface UsageEvent {
  readonly tenant: string;
  readonly type: string;
  /** Scaled integer, 12 fractional digits, 0 <= quantity < 10^26 (scaled: 10^38). */
  readonly quantity: bigint;
  readonly key: string;
  /** Microseconds since 1970, UTC. */
  readonly timestamp: number;
  readonly subject: string | null;
  /** Canonical JSON text of an object: keys sorted, no white space, numbers in shortest form. */
  readonly properties: string;
}
