"""The fifteen nights: each is what somebody is called for at three in the morning, played by keyboard in a terminal of 80x24.

A story says what the screen must show before anything is pressed, what is pressed, counted from the home screen, and which
guard keeps the wrong robot or the wrong person out. A typed phrase counts as one key, with the Enter that ends it, as does any text; logging in as
somebody is not part of a story.
"""
