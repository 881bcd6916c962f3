/** \file deck_text.h
 *  Decks made from texts. */
#ifndef RT_DECK_TEXT_H
#define RT_DECK_TEXT_H

#include "deck/deck.h"

/** A deck with something of everything. */
extern const char deck_sample[];

/** As if it were read from d.yaml, without overrides. */
RT_MUST rt_err deck_of(const char *text, rt_deck **deck);

/** The lines in which rt_deck_same_run() says that \a now differs; "": none. */
void deck_diff(const rt_deck *old_deck, const rt_deck *now, char lines[1000]);

#endif
