// swift-tools-version: 6.2
import PackageDescription

// One module a folder, imports strictly downwards. `Tests/ArchitectureTests` holds the same table and reads every `import`.

let collections = Target.Dependency.product(name: "OrderedCollections", package: "swift-collections")
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["TestSupport"], path: "Tests/\(name)", exclude: exclude,
        swiftSettings: strict)
}

func library(_ name: String, pkgConfig: String, apt: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let package = Package(
    name: "graft",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "graft", targets: ["CLI"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        library("CJSONC", pkgConfig: "json-c", apt: "libjson-c-dev"),
        library("CZstd", pkgConfig: "libzstd", apt: "libzstd-dev"),
        library("CPCRE2", pkgConfig: "libpcre2-8", apt: "libpcre2-dev"),
        library("CXXHash", pkgConfig: "libxxhash", apt: "libxxhash-dev"),
        // Kernels are useless without the optimiser, in debug builds too.
        .target(
            name: "CKernels",
            cSettings: [.unsafeFlags(["-O3", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror"])]),

        module("Files", ["CJSONC", "CPCRE2", "CZstd", "CXXHash", collections]),
        module("Tensors", ["CKernels", "Files"]),
        module("Layers", ["Tensors"]),
        module("Tokenizers", ["CPCRE2", "Files", collections]),
        module("Models", ["Layers", "Tokenizers", "Tensors", "Files"]),
        module("Datasets", ["Tokenizers", "Files"]),
        module("Adapters", ["Layers", "Tensors", "Files"]),
        module("Trainers", ["Models", "Datasets", "Layers", "Tensors", "Files"]),
        module(
            "Recipes",
            ["Trainers", "Adapters", "Datasets", "Models", "Tokenizers", "Layers", "Tensors", "Files", "Yams"]),
        .executableTarget(
            name: "CLI",
            dependencies: ["Recipes", "Files", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),

        .target(name: "TestSupport", dependencies: ["Files"], path: "Tests/TestSupport", swiftSettings: strict),
        tests("FilesTests", ["Files"]),
        tests("TensorsTests", ["Tensors", "CKernels", "Files"]),
        tests("Benchmarks", ["Tensors"], exclude: ["methods.py", "reward_folds.py"]),
        tests("LayersTests", ["Layers", "Tensors"]),
        tests("TokenizersTests", ["Tokenizers", "Models", "Files"]),
        tests("ModelsTests", ["Models", "Layers", "Tokenizers", "Tensors", "Files"]),
        tests("DatasetsTests", ["Datasets", "Tokenizers", "Files"]),
        tests("AdaptersTests", ["Adapters", "Models", "Layers", "Tokenizers", "Tensors", "Files"]),
        tests("TrainersTests", ["Trainers", "Adapters", "Models", "Datasets", "Layers", "Tensors", "Files"]),
        tests(
            "RecipesTests",
            ["Recipes", "Trainers", "Adapters", "Datasets", "Models", "Tokenizers", "Layers", "Tensors", "Files"]),
        tests("CLITests", ["Files"], exclude: ["Help"]),
        tests("ArchitectureTests", ["Recipes", "Adapters", "Datasets", "Models", "Files"]),
    ]
)
