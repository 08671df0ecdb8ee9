import { randomInt } from "node:crypto";

const adjectives =
  "able airy amber ample apt bold brave brisk calm candid cheery civil clear clever cosy crisp daring deft eager early easy fair fleet fond frank fresh gentle glad golden grand hardy hearty honest humble jolly keen kind lively lofty loyal lucid lucky mellow merry mild neat nimble noble patient placid plucky polite prime proud quick quiet rapid ready robust rosy serene sharp sleek smart snug sober solid spry stable steady sturdy sunny swift tidy tranquil trusty upbeat vivid warm wise witty zesty";

/** Builders of bridges, cranes, locks, ships and engines. */
const surnames =
  "ammann armstrong arrol baker barlow bazalgette bessemer bramah brindley brunel cubitt darby eads eiffel ellet fairbairn finley fowler freyssinet froude gauthey gramme hennebique jessop lesseps lindenthal locke maillart maudslay menai monier moulton murdock navier newcomen otis papin perronet rankine rennie robertson roebling sauvage smeaton steinman stephenson stevenson strauss telford torroja trevithick vauban vitruvius watt whitworth wilkinson";

const pick = (words: string): string => {
  const list = words.split(" ");
  return list[randomInt(list.length)] as string;
};

/** A name for people to tell instances apart by; from the tenth attempt on with a number. */
export const randomName = (attempt: number): string =>
  `${pick(adjectives)}_${pick(surnames)}${attempt >= 10 ? randomInt(10_000) : ""}`;
