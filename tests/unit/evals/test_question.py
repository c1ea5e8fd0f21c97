from mmdft.evals.question import options_in_question


def test_options_in_a_line():
    assert options_in_question("Is it? choice: (A) Yes (B) No ") == ("Yes", "No")


def test_options_on_lines():
    question = "Which group?\nA. Group 1\nB: Group 2\nC. Group 3"
    assert options_in_question(question) == ("Group 1", "Group 2", "Group 3")


def test_options_drawn_in_the_figure_are_their_letters():
    assert options_in_question("Which figure? choice: (A) (B) (C)") == ("A", "B", "C")


def test_letters_out_of_order_are_no_options():
    assert options_in_question("From point (B) to point (A)") == ()
    assert options_in_question("No options here (A)") == ()
