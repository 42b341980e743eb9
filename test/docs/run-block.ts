/** Runs one block, whose file is the argument, and ends when its last line has run. */
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';

register('./modules.mjs', import.meta.url);

process.on('unhandledRejection', (error) => {
  console.error(error);
  process.exit(1);
});
const [, , file = ''] = process.argv;
await import(pathToFileURL(file).href);
process.exit();
