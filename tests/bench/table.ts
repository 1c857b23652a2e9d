/** Medians and percentiles, and the cells of tables. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The smallest of the values that is not below `percent` percent of them (nearest rank). `sorted` is in
 * ascending order; of no values at all it is NaN.
 */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  const rank = Math.ceil(sorted.length * percent / 100);
  return sorted[Math.max(0, rank - 1)] ?? NaN;
}

export function number(value: number): string {
  return value >= 1_000 ? value.toFixed(0) : value.toPrecision(3);
}

/** The title of a proxy; our engines are marked as ours. */
export function titleOf(proxy: string): string {
  return proxy === "stream" || proxy === "splice" ? `failover, ${proxy}` : proxy;
}

export function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** The two lines above the rows; a title that begins with ">" is of a column of numbers. */
export function head(titles: readonly string[]): string {
  const isNumber = (title: string) => title.startsWith(">");
  const names = titles.map((title) => isNumber(title) ? title.slice(1) : title);
  return `${row(names)}\n${row(titles.map((title) => isNumber(title) ? "---:" : "---"))}`;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
