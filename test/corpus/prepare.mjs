// A process that prepares a corpus with the built package, for suites that count threads or kill it.
// argv[2] is JSON: { paths, tokenizer, options }. Prints a line when it begins to write, and one when it is done.
import { loadTokenizer, prepareCorpus } from "../../dist/data/text/index.js";

const { paths, tokenizer, options } = JSON.parse(process.argv[2]);
let begun = false;
const manifest = await prepareCorpus(paths, await loadTokenizer(tokenizer), {
  ...options,
  onProgress() {
    if (!begun) console.log("begun");
    begun = true;
  },
});
console.log(`done ${Object.values(manifest.splits).reduce((n, { documents }) => n + documents, 0)}`);
