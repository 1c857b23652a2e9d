/** Metrics of the real program, which its threads count a moment after a client or the log sees what they count. */
import { withTestDeadline } from "./test_deadline.ts";

/** Scrapes until each pattern matches; resolves with that scrape. */
export async function untilCounted(
  scrape: () => Promise<string>,
  ...patterns: readonly RegExp[]
): Promise<string> {
  let text = "";
  const scraping = async () => {
    do text = await scrape(); while (!patterns.every((each) => each.test(text)));
    return text;
  };
  return await withTestDeadline(`metrics like ${patterns.join()}`, scraping(), () => text);
}
