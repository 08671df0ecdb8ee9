// Control characters but tab and newline (DEL and C1 too, which terminals take for escapes), line separators, and what
// turns the direction of text.
const harmful =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/**
 * Text as it may be shown on a terminal. Names, labels, commands and messages come from images, guests and other
 * users: what would move the cursor, set the title or forge a line is shown as JSON writes it, `\u001b`.
 */
export const plain = (text: string): string => text.replace(harmful, escaped);

/** The same for what must stay on one line: a cell of a table. */
export const plainLine = (text: string): string => plain(text).replace(/[\t\n]/g, escaped);
