/** Numbers for people: of several measurements, and in the cells of a table. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function number(value: number): string {
  return value >= 1_000 ? value.toFixed(0) : value.toPrecision(3);
}

/** The failover engines are ours by name too. */
export function titleOf(proxy: string): string {
  return proxy === "stream" || proxy === "splice" ? `failover, ${proxy}` : proxy;
}
