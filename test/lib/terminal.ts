/** A program on a real pseudo-terminal. */
export class Terminal implements Disposable {
  #text = "";
  readonly #process: Bun.Subprocess;
  readonly #terminal: Bun.Terminal;

  constructor(argv: string[], env: Record<string, string>, size = { cols: 80, rows: 24 }) {
    this.#process = Bun.spawn(argv, {
      env: { ...process.env, ...env, TERM: "xterm" } as Record<string, string>,
      terminal: {
        ...size,
        data: (_terminal: unknown, data: Uint8Array) => {
          this.#text += new TextDecoder().decode(data);
        },
      },
    });
    this.#terminal = this.#process.terminal!;
  }

  /** All that was printed so far. */
  get text(): string {
    return this.#text;
  }

  type(text: string): void {
    this.#terminal.write(text);
  }

  resize(cols: number, rows: number): void {
    this.#terminal.resize(cols, rows);
  }

  /** Waits until `pattern` was printed after the text that earlier calls have consumed. */
  async expect(pattern: RegExp, patience = 20_000): Promise<string> {
    const until = Date.now() + patience;
    for (;;) {
      const match = pattern.exec(this.#text);
      if (match) {
        this.#text = this.#text.slice(match.index + match[0].length);
        return match[0];
      }
      if (Date.now() > until)
        throw new Error(`${pattern} was not printed; there is: ${JSON.stringify(this.#text.slice(-800))}`);
      await Bun.sleep(20);
    }
  }

  /** The exit status. */
  async exited(patience = 30_000): Promise<number> {
    return await Promise.race([
      this.#process.exited,
      Bun.sleep(patience).then(() => {
        throw new Error(`the program did not end; printed: ${JSON.stringify(this.#text.slice(-800))}`);
      }),
    ]);
  }

  [Symbol.dispose](): void {
    this.#process.kill("SIGKILL");
    this.#terminal.close();
  }
}
