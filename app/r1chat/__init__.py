"""The parts of the chat. Only page.py and the *_tab.py modules import Gradio."""
