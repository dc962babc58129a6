import Files
import Recipes
import TestSupport
import Testing

/// Adapters that are loaded together and asked for by name.
@Suite("Several adapters by name") struct SwitchingTests {
    static let folders = [
        ("low", "adapters/tiny-llama/all-linear"), ("factors", "adapters/tiny-llama/ia3"),
        ("prompt", "prompts/tiny-llama/prompt"), ("prefix", "prompts/tiny-llama/prefix"),
    ]

    /// The words that begin every conversation here.
    static let turn = "How many sacks are by the mill?"

    private func generator(_ names: [String]) throws -> TextGenerator {
        var options = GenerationOptions()
        options.maximumTokens = 10
        options.minimumTokens = 10
        let adapters = try names.map { name in
            let folder = try #require(Self.folders.first { $0.0 == name }).1
            return NamedAdapter(name: name, path: Locations.fixture(folder))
        }
        return try TextGenerator(
            ModelSettings(path: Locations.fixture("models/tiny-llama"), precision: nil, weights: nil),
            adapters: adapters, options: options)
    }

    private func answer(_ generator: TextGenerator, to prompt: Prompt = .text(turn)) throws -> String {
        try #require(generator.generate([prompt]).answers.first).text
    }

    @Test("a model answers with those that are asked for as if no other were there, in any order of asking")
    func switching() throws {
        let together = try generator(Self.folders.map(\.0))
        let stacks = [
            ["low"], ["prompt"], [], ["factors", "low"], ["low", "factors"], ["prefix"], ["prompt", "low"],
            ["low", "prefix", "prompt"], ["factors"],
        ]
        var seen: Set<String> = []
        for stack in stacks + stacks.reversed() {
            try together.activate(stack.isEmpty ? NamedAdapter.none : stack.joined(separator: "+"))
            #expect(together.activeAdapters == stack)
            let text = try answer(together)
            #expect(try text == answer(generator(stack)), "\(stack)")
            seen.insert(text)
        }
        // Most of them change what a model of random numbers says.
        #expect(seen.count >= 6)
    }

    @Test("a conversation keeps its words when adapters are switched, and goes on from nothing else")
    func conversation() throws {
        let together = try generator(Self.folders.map(\.0))
        let chat = Conversing(together)
        #expect(try chat.obey(.activate("none")) == "loaded: low, factors, prompt, prefix; active: none")
        let first = try chat.reply(to: Self.turn)
        #expect(try first == answer(generator([])))
        for stack in ["prompt", "low+prefix"] {
            #expect(try chat.obey(.activate(stack)).hasSuffix("active: \(stack)"))
            _ = try chat.obey(.clear)
            let again = try chat.reply(to: Self.turn)
            let alone = Conversing(try generator(stack.split(separator: "+").map(String.init)))
            #expect(try again == alone.reply(to: Self.turn))
            #expect(try chat.reply(to: "And then?") == alone.reply(to: "And then?"))
        }
        _ = try chat.obey(.activate("factors"))
        let last = try chat.reply(to: "Who said so?")
        let fresh = Conversing(try generator(["factors"]))
        #expect(try last != fresh.reply(to: "Who said so?"))
    }

    @Test("a name that none has is an error that names the nearest, and changes nothing")
    func misspelt() throws {
        let together = try generator(["low", "factors"])
        try together.activate("factors")
        for (stack, hint) in [
            ("lwo", "Did you mean low?"), ("low+factor", "Did you mean factors?"), ("low+low", "stands twice"),
            ("", "Loaded are low, factors"), ("low+", "Loaded are low, factors"),
        ] {
            let error = #expect(throws: InputError.self) { try together.activate(stack) }
            #expect(error?.description.contains(hint) == true, "\(stack): \(error?.description ?? "")")
            #expect(together.activeAdapters == ["factors"])
        }
    }

    @Test("lines that begin with a slash are commands")
    func commands() throws {
        #expect(try ChatCommand("/adapter") == .adapters)
        #expect(try ChatCommand("/adapter  low+factors ") == .activate("low+factors"))
        #expect(try ChatCommand("/clear") == .clear)
        #expect(try ChatCommand("/help ") == .help)
        for words in ["Hello", "//usr is a path", ""] { #expect(try ChatCommand(words) == nil) }
        #expect(ChatCommand.words(of: "//usr is a path") == "/usr is a path")
        for (line, hint) in [("/adaptr low", "/adapter?"), ("/", "/help lists"), ("/clear all", "/clear?")] {
            let error = #expect(throws: InputError.self) { try ChatCommand(line) }
            #expect(error?.description.contains(hint) == true, "\(line): \(error?.description ?? "")")
        }
    }

    @Test("folders get the names that are given, or their own")
    func names() throws {
        #expect(try NamedAdapter("Adapters/keeper/") == NamedAdapter(name: "keeper", path: "Adapters/keeper/"))
        #expect(try NamedAdapter("k=Adapters/a=b") == NamedAdapter(name: "k", path: "Adapters/a=b"))
        let folder = try TemporaryFolder()
        try folder.write("", to: "x=y/file")
        #expect(try NamedAdapter(folder.file("x=y")).path == folder.file("x=y"))
        for wrong in ["=a", "none=a", "a+b=c", "a b=c"] { #expect(throws: InputError.self) { try NamedAdapter(wrong) } }
        let error = #expect(throws: InputError.self) { try NamedAdapter.reading(["a/run", "b/run"]) }
        #expect(error?.description.contains("name=folder") == true)
        #expect(try NamedAdapter.reading(["a/run", "other=b/run"]).map(\.name) == ["run", "other"])
    }
}
