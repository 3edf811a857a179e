"""The DeepSeek-R1 training pipeline on the Hugging Face stack.

Importing the package loads none of its heavy dependencies and changes nothing; import the module you need.
"""

__version__ = "0.1.0"
