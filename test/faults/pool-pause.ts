export const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));
