import * as ladder from 'pg-ladder';
import app from './app.cjs';

await app(ladder);
