import Files
import Foundation
import Recipes
import TestSupport
import Testing

/// The manual says what is so: its tables are generated, its commands exist, those that are cheap are run.
@Suite("The manual") struct ReadmeTests {
    /// `GRAFT_UPDATE_README=1 swift test -c release --filter ReadmeTests` writes the tables anew.
    @Test("the recipe reference is the reader's own")
    func recipeReference() throws {
        let readme = try Manual("README.md").text
        let marks = ("<!-- recipe reference -->\n", "<!-- end of recipe reference -->")
        let start = try #require(readme.range(of: marks.0)).upperBound
        let end = try #require(readme.range(of: marks.1)).lowerBound
        if ProcessInfo.processInfo.environment["GRAFT_UPDATE_README"] != nil {
            let updated = readme[..<start] + RecipeReference.markdown + readme[end...]
            try updated.write(toFile: Locations.inRepository("README.md"), atomically: true, encoding: .utf8)
        } else {
            #expect(readme[start..<end] == RecipeReference.markdown, "GRAFT_UPDATE_README=1 writes it anew")
        }
    }

    @Test("the recipe shown is the one that the quick start trains")
    func recipeShown() throws {
        let parts = try Manual("README.md").text.components(separatedBy: "```yaml\n")
        let shown = try #require(parts.dropFirst().first?.components(separatedBy: "```").first)
        let recipe = try RecipeReader.read(Locations.inRepository("Recipes/sft-lora.yaml"), overrides: [])
        #expect(try RecipeReader.read(text: shown, file: "README.md") == recipe)
    }

    @Test("every command shown exists, with the flags it is shown with", arguments: Manual.pages)
    func commandsExist(page: String) async throws {
        let makefile = try String(contentsOfFile: Locations.inRepository("Makefile"), encoding: .utf8)
        for command in try Manual(page).commands {
            let (program, arguments) = (command.words[0], command.words.dropFirst())
            switch program {
            case "make":
                let target = try #require(arguments.first { !$0.contains("=") })
                #expect(makefile.contains("\n\(target):"), "\(page): make \(target)")
            case "graft":
                // A command of a group is two words.
                let name = arguments.prefix(arguments.first == "adapters" ? 2 : 1).joined(separator: " ")
                let known = try await flags(of: name)
                for flag in arguments where flag.hasPrefix("--") {
                    #expect(known.contains(flag), "\(page): graft \(name) \(flag)")
                }
            default:
                let others = ["export", "git", "python", "python3", "pip", "swift"]
                #expect(others.contains(program), "\(page): \(program)")
            }
        }
    }

    @Test("every command and every flag is in the command reference")
    func commandsAreDescribed() async throws {
        let readme = try Manual("README.md")
        let help = try await Graft.run(["--help"]).output
        let list = try #require(help.range(of: "SUBCOMMANDS:\n"))
        let commands = help[list.upperBound...].matches(of: /\n?  ([a-z]+)  +[A-Z]/).map { String($0.output.1) }
        #expect(commands.count >= 9)
        for name in commands {
            let whole = name == "adapters" ? "adapters combine" : name
            let section = try #require(readme.section("### graft \(name)"), "graft \(name) is not described")
            let common = readme.section("## Commands")?.components(separatedBy: "\n### ").first ?? ""
            for flag in try await flags(of: whole) where !["--version", "--help"].contains(flag) {
                #expect(section.contains("`\(flag)") || common.contains("`\(flag)"), "graft \(name) \(flag)")
            }
        }
    }

    /// The blocks marked `tested`, in order, in a folder like the repository's where the model is a tiny one. Training is cut short.
    @Test("the commands of the tested blocks run")
    func commandsRun() async throws {
        let folder = try TemporaryFolder()
        for name in ["Models", "Adapters"] {
            try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
        }
        let links = [
            ("Recipes", Locations.inRepository("Recipes")), ("Datasets", Locations.inRepository("Datasets")),
            ("Models/SmolLM2-135M-Instruct.gguf", Locations.fixture("gguf/tiny-llama.gguf")),
            ("Adapters/lantern-keeper", Locations.fixture("adapters/tiny-llama/all-linear")),
        ]
        for (name, target) in links {
            try FileManager.default.createSymbolicLink(atPath: folder.file(name), withDestinationPath: target)
        }
        let short = ["dataset.max_length=96", "dataset.cache=false", "training.max_steps=2", "training.threads=1"]
        let commands = try Manual("README.md").commands.filter { $0.isTested && $0.words[0] == "graft" }
        #expect(commands.count >= 8)
        for command in commands {
            var arguments = Array(command.words.dropFirst())
            if ["train", "inspect", "benchmark"].contains(arguments[0]) {
                arguments += short.flatMap { ["--set", $0] }
            }
            let run = try await Graft.run(arguments, in: folder.path)
            #expect(run.status == 0, "graft \(arguments.joined(separator: " ")): \(run.errors)")
            if arguments.contains("--json") {
                for line in run.output.split(separator: "\n") { _ = try JSON(parsing: String(line)) }
            }
        }
    }

    /// `EqualityTests.packedForward` in a page is a function of a suite, and `Sources/…` a file.
    @Test("tests and files that a page names are there", arguments: Manual.pages)
    func namesExist(page: String) throws {
        let tests = try Locations.files(under: "Tests", ending: ".swift").map {
            try String(contentsOfFile: Locations.inRepository($0), encoding: .utf8)
        }
        let manual = try Manual(page)
        for name in manual.quoted {
            if let match = name.wholeMatch(of: /([A-Z]\w*Tests)(?:\.(\w+))?/), !isModule(name) {
                let (suite, function) = (match.output.1, match.output.2)
                let files = tests.filter { $0.contains("struct \(suite) ") }
                #expect(!files.isEmpty, "\(page): \(name)")
                if let function { #expect(files.contains { $0.contains("func \(function)(") }, "\(page): \(name)") }
            }
            if name.wholeMatch(of: /(Sources|Tests|Recipes|Datasets|docs)\/[\w\/.+-]+/) != nil {
                #expect(exists(name), "\(page): \(name)")
            }
        }
        let folder = page.contains("/") ? "docs/" : ""
        for link in manual.text.matches(of: /\]\(([^)#:]+)(?:#[^)]*)?\)/) {
            #expect(exists(folder + link.output.1), "\(page): a link to \(link.output.1)")
        }
    }

    private func isModule(_ name: String) -> Bool { exists("Tests/\(name)") }

    private func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: Locations.inRepository(path))
    }

    /// The long flags in a command's help.
    private func flags(of command: String) async throws -> Set<String> {
        let run = try await Graft.run(command.split(separator: " ").map(String.init) + ["--help"])
        #expect(run.status == 0 && run.output.contains("USAGE: graft \(command)"), "graft \(command)")
        return Set(run.output.matches(of: /--[a-z][a-z-]*/).map { String($0.output) })
    }
}
