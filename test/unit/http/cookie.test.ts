import { describe, expect, it } from 'vitest';
import { cookieValues } from '../../../src/http/cookie.js';

const NAME = '__Host-pg-ladder';

describe('a cookie', () => {
  it.each([
    ['alone', `${NAME}=t`, ['t']],
    ['among others, with and without blanks', `a=1;${NAME}=t; b=2`, ['t']],
    ['several times', `${NAME}=t; a=1; ${NAME}=u`, ['t', 'u']],
    ['in quotes', `${NAME}="t"`, ['t']],
    ['with blanks and tabs around its name and value', `a=1;\t ${NAME} =\t t \t; b=2`, ['t']],
    ['empty', `${NAME}=; a=1`, ['']],
    ['with signs of equality in its value', `${NAME}=t=u==`, ['t=u==']],
    ['after an unclosed quote, as browsers split', `a="b; ${NAME}=t`, ['t']],
  ])('is found %s', (_, header, values) => {
    expect(cookieValues(header, NAME)).toEqual(values);
  });

  it.each([
    ['inside another cookie’s value', `a=b ${NAME}=t`],
    ['inside a quoted value', `a="x ${NAME}=t"`],
    ['at the end of a longer name', `x${NAME}=t; a${NAME}=t`],
    ['at the beginning of a longer name', `${NAME}s=t; ${NAME}.a=t`],
    ['in other letters', `__host-pg-ladder=t; __HOST-PG-LADDER=t`],
    ['without a value', `${NAME}; ${NAME};=t`],
    [
      'behind white space that a browser does not take for blank',
      `\u00a0${NAME}=t; \u2003${NAME}=t; \u0085${NAME}=t; \v${NAME}=t`,
    ],
    ['behind a comma or a line', `a=1,${NAME}=t; a=1\n${NAME}=t`],
    ['as the name of none', `=${NAME}=t; ==${NAME}=t`],
  ])('is not found %s', (_, header) => {
    expect(cookieValues(header, NAME)).toEqual([]);
  });
});
