"""No package of the product, but of a tool of the tests. Where it is found, dependency-injector makes it a part of
every process, and every start a third longer.
"""

raise ImportError("The product runs without it.")
