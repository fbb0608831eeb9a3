// Finds the programs in the documentation: ```ts blocks of Markdown files, and @example tags of docstrings.

/** One program of the documentation. */
export interface Example {
  /** `path:line` of its first line. */
  readonly place: string;
  readonly path: string;
  readonly code: string;
  /** Not run: it needs a network, or files that are not here. */
  readonly skip: boolean;
}

/**
 * The ```ts blocks of a Markdown file. A block marked `no-run` is not run; one marked `continued` goes on where the
 * block before it stopped. A comment `<!-- example: setup … -->` gives names that the next block takes for granted.
 */
export function examplesOfMarkdown(path: string, text: string): Example[] {
  const examples: Example[] = [];
  let setup = "";
  let before = "";
  const pattern = /^<!-- example: setup\n([\s\S]*?)^-->|^```ts([^\n]*)\n([\s\S]*?)^```/gm;
  for (const match of text.matchAll(pattern)) {
    const [, prepared, marks = "", block = ""] = match;
    if (prepared !== undefined) {
      setup += prepared;
      continue;
    }
    const line = text.slice(0, match.index).split("\n").length + 1;
    const code = marks.includes("continued") ? `${before}\n${block}` : `${setup}\n${block}`;
    examples.push({ place: `${path}:${line}`, path, code, skip: marks.includes("no-run") });
    before = code;
    setup = "";
  }
  return examples;
}

/** The @example tags of a source file's docstrings. `@example no-run` is not run. */
export function examplesOfSource(path: string, text: string): Example[] {
  const examples: Example[] = [];
  for (const comment of text.matchAll(/\/\*\*([\s\S]*?)\*\//g)) {
    const first = text.slice(0, comment.index).split("\n").length;
    const lines = comment[1]!.split("\n").map((line) => line.replace(/^\s*\* ?/, "").trimEnd());
    let code: string[] | undefined;
    let mark = "";
    let start = 0;
    const close = (): void => {
      const body = (code ?? []).filter((line) => !line.startsWith("```")).join("\n");
      if (body.trim() !== "") examples.push({ place: `${path}:${start}`, path, code: body, skip: mark === "no-run" });
      code = undefined;
    };
    lines.forEach((line, i) => {
      const tag = /^\s*@(\w+)\s*(.*)$/.exec(line);
      if (tag === null) {
        code?.push(line);
        return;
      }
      close();
      if (tag[1] !== "example") return;
      mark = tag[2] === "no-run" ? tag[2] : "";
      code = mark === "" ? [tag[2]!] : [];
      start = first + i;
    });
    close();
  }
  return examples;
}
