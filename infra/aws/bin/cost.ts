// Prints what a deployment costs, in Markdown; `--arithmetic` with every factor, `--check FILE` compares with a file.

import { readFileSync } from 'node:fs';
import { costTables } from '../lib/cost-tables.ts';

const [flag, file] = process.argv.slice(2);
const text = costTables(flag === '--arithmetic');
if (flag === '--check') {
  if (file === undefined) throw new Error('--check takes the file in which the tables stand');
  if (!readFileSync(file, 'utf8').includes(text)) {
    console.error(`The tables in ${file} are not what \`npm run cost\` prints: put them in.`);
    process.exitCode = 1;
  }
} else if (flag !== undefined && flag !== '--arithmetic') {
  console.error(`There is no ${flag}: it takes --arithmetic, or --check FILE.`);
  process.exitCode = 1;
} else {
  process.stdout.write(text);
}
